from millstream_airflow.pipelines.marts import mart_dag

dag = mart_dag("model_quality_by_month")
