from millstream_airflow.pipelines.reconcile import reconcile_dag

dag = reconcile_dag()
