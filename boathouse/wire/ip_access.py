"""IP access lists as they travel (`ip-access-lists` of a workspace and of an account), and the account's switch."""

from typing import Literal

from boathouse.wire.base import Wire

ListType = Literal["ALLOW", "BLOCK"]


class CreateIpAccessList(Wire):
    label: str
    list_type: ListType
    ip_addresses: list[str] | None = None


class PutIpAccessList(Wire):
    """A whole list."""

    label: str
    list_type: ListType
    enabled: bool
    ip_addresses: list[str] | None = None
    ip_access_list_id: str | None = None


class PatchIpAccessList(Wire):
    """What is to change."""

    label: str | None = None
    list_type: ListType | None = None
    enabled: bool | None = None
    ip_addresses: list[str] | None = None
    ip_access_list_id: str | None = None


class IpAccessList(Wire):
    """Times in epoch milliseconds; `created_by` and `updated_by`: ids of principals."""

    list_id: str
    label: str
    list_type: str
    enabled: bool
    ip_addresses: list[str]
    address_count: int
    created_at: int
    created_by: int
    updated_at: int
    updated_by: int


class IpAccessListAnswer(Wire):
    ip_access_list: IpAccessList


class IpAccessLists(Wire):
    ip_access_lists: list[IpAccessList] = []


class Truth(Wire):
    value: bool


class IpAccessSetting(Wire):
    """`setting_name` is `default`; the etag is a version."""

    acct_ip_acl_enable: Truth
    etag: str | None = None
    setting_name: str | None = None

    @classmethod
    def of(cls, enabled: bool, etag: str) -> "IpAccessSetting":
        return cls(acct_ip_acl_enable=Truth(value=enabled), etag=etag, setting_name="default")


class UpdateIpAccessSetting(Wire):
    allow_missing: bool
    setting: IpAccessSetting
    field_mask: str


class IpAccessEtag(Wire):
    etag: str | None = None
