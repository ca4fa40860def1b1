from millstream_airflow.pipelines.ingest import ingest_dag

dag = ingest_dag("docstrings")
