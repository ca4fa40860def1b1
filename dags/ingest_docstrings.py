from millstream_airflow.ingest import ingest_dag

dag = ingest_dag("docstrings")
