"""What runs on Spark and beside it: contracts, lake, extraction, quality, models. Never imports Airflow."""
