from millstream_airflow.pipelines.marts import mart_dag

dag = mart_dag("delays_by_airport_and_hour")
