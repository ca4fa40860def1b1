"""The Airflow side: operators, DAG builders, links, notifiers and pages."""
