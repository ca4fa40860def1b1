from millstream_airflow import catalog
from millstream_airflow.pipelines.reconcile import reconcile_dag

dag = reconcile_dag(
    tables=(
        *(f"silver.{dataset}" for dataset in catalog.datasets()),
        "gold.arrival_delay_features",
        "gold.arrival_delay_predictions",
        "gold.big_data_text_predictions",
    )
)
