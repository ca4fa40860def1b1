from millstream_airflow.pipelines.comparison import compare_dag

dag = compare_dag()
