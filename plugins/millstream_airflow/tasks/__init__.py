"""What pipelines are made of: the Spark operator, publishing, retries, alerts, links."""
