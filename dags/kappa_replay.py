from millstream_airflow.pipelines.kappa import kappa_dag

dag = kappa_dag()
