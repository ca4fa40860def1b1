"""Types of connections that no other provider brings, so that the form under *Connections* lists them.

A task reaches such a connection by its type (`connections`, `engines`), not by these hooks.
"""

from __future__ import annotations

from airflow.sdk import BaseHook


class MariaDBHook(BaseHook):
    conn_name_attr = "mariadb_conn_id"
    conn_type = "mariadb"
    hook_name = "MariaDB"


class S3Hook(BaseHook):
    conn_name_attr = "s3_conn_id"
    conn_type = "aws"
    hook_name = "S3"


class HdfsHook(BaseHook):
    conn_name_attr = "hdfs_conn_id"
    conn_type = "hdfs"
    hook_name = "HDFS"


class HadoopLocalHook(BaseHook):
    conn_name_attr = "hadoop_local_conn_id"
    conn_type = "hadoop_local"
    hook_name = "MapReduce on this machine"


class HadoopYarnHook(BaseHook):
    conn_name_attr = "hadoop_yarn_conn_id"
    conn_type = "hadoop_yarn"
    hook_name = "MapReduce on YARN"
