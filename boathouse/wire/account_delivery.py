"""The account's credentials, storage configurations and log delivery as they travel (reference api G)."""

from typing import Literal

from boathouse.wire.base import Wire


class StsRole(Wire):
    role_arn: str


class AwsCredentials(Wire):
    sts_role: StsRole


class CreateCredentials(Wire):
    credentials_name: str
    aws_credentials: AwsCredentials


class RootBucket(Wire):
    bucket_name: str


class CreateStorageConfiguration(Wire):
    storage_configuration_name: str
    root_bucket_info: RootBucket


class DeliveryConfiguration(Wire):
    """What log is delivered where. `delivery_start_time`: a month, `YYYY-MM`, of usage alone."""

    log_type: Literal["AUDIT_LOGS", "BILLABLE_USAGE"]
    output_format: Literal["JSON", "CSV"]
    credentials_id: str
    storage_configuration_id: str
    config_name: str | None = None
    delivery_path_prefix: str | None = None
    delivery_start_time: str | None = None
    status: Literal["ENABLED", "DISABLED"] = "ENABLED"
    workspace_ids_filter: list[int] | None = None


class CreateLogDelivery(Wire):
    log_delivery_configuration: DeliveryConfiguration


class UpdateLogDelivery(Wire):
    status: Literal["ENABLED", "DISABLED"]


class LogDeliveryQuery(Wire):
    credentials_id: str | None = None
    storage_configuration_id: str | None = None
    status: Literal["ENABLED", "DISABLED"] | None = None
    page_token: str = ""
