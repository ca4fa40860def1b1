"""Where jobs run: sessions of Spark, and how an outcome comes back."""
