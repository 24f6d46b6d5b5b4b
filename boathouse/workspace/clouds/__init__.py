"""Objects in clouds: S3, Azure storage and Google Cloud Storage, each by its own client library, imported when first used."""
