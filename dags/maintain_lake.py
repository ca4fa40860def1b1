from millstream_airflow.pipelines.maintain import maintenance_dag

dag = maintenance_dag()
