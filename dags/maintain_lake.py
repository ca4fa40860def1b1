from millstream_airflow.maintenance import maintenance_dag

dag = maintenance_dag()
