from millstream_airflow.pipelines.marts import mart_dag

dag = mart_dag("delays_by_carrier_and_weather")
