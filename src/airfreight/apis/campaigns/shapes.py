"""The bodies of this door, with the names of its contract. int64 is a string, as protobuf has it; int32 a number."""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from airfreight.apis.common.fields import LINE, UID

Id = Annotated[str, Meta(max_length=64, pattern=LINE)]
"""An id as it is repeated in a body: it must be that of the path."""

UUID = r"^[0-9a-f-]{36}$"
"""The form of our own uids, for the schema of addresses: another text is nobody's, and that is what it is told."""

GatewayId = Annotated[str, Meta(pattern=UID, description="The uid of a device")]
PackageId = Annotated[str, Meta(max_length=36, pattern=LINE, description="The uid of a package")]
Int64 = Annotated[str, Meta(description="A whole number", pattern=r"^-?[0-9]+$")]
Time = Annotated[str, Meta(description="Milliseconds since 1970", pattern=r"^[0-9]+$")]
TimeIn = (
    Annotated[str, Meta(description="Milliseconds since 1970, or 0", pattern=r"^(0|[1-9][0-9]{0,17})(?![\s\S])")]
    | Annotated[int, Meta(ge=0, le=10**18 - 1)]
)
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=LINE)]
Description = Annotated[str, Meta(max_length=1000, pattern=LINE)]
Key = Annotated[str, Meta(min_length=1, max_length=100, pattern=LINE)]
Value = Annotated[str, Meta(max_length=1000, pattern=LINE)]


class CampaignStatus(StrEnum):
    STARTED = "STARTED"
    CREATED = "CREATED"
    STOPPED = "STOPPED"
    APPROVAL_NEEDED = "APPROVAL_NEEDED"
    APPROVED = "APPROVED"


class GatewayState(StrEnum):
    """Where a gateway stands in a campaign."""

    INSTANTIATED = "INSTANTIATED"
    INVENTORY_UP_TO_DATE = "INVENTORY_UP_TO_DATE"
    WAITING_FOR_DOWNLOAD_APPROVAL = "WAITING_FOR_DOWNLOAD_APPROVAL"
    SCHEDULED_DOWNLOAD = "SCHEDULED_DOWNLOAD"
    WAITING_FOR_DOWNLOAD = "WAITING_FOR_DOWNLOAD"
    DOWNLOAD_COMPLETE = "DOWNLOAD_COMPLETE"
    WAITING_FOR_EXECUTION_APPROVAL = "WAITING_FOR_EXECUTION_APPROVAL"
    SCHEDULED_EXECUTION = "SCHEDULED_EXECUTION"
    WAITING_FOR_EXECUTION = "WAITING_FOR_EXECUTION"
    EXECUTION_COMPLETE = "EXECUTION_COMPLETE"
    WAITING_FOR_ACTIVATION_APPROVAL = "WAITING_FOR_ACTIVATION_APPROVAL"
    SCHEDULED_ACTIVATION = "SCHEDULED_ACTIVATION"
    WAITING_FOR_ACTIVATION = "WAITING_FOR_ACTIVATION"
    ACTIVATION_COMPLETE = "ACTIVATION_COMPLETE"
    FAILED = "FAILED"


class In(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """Base of bodies: camelCase in the schema; snake_case is taken, too."""


class Out(msgspec.Struct, kw_only=True, rename="camel"):
    """Base of answers."""


class Done(Out):
    """Nothing more to say."""


class Made(Out):
    uuid: str


class PageInfo(Out):
    total_pages: Int64
    total_elements: Int64
    page: int
    page_size: int


# signing in


class Versions(Out):
    """The current one comes first: scripts take the first value."""

    current_version: str
    supported_versions: list[str]


class Me(Out):
    """Whose token it is: `user:` or `client:` and a number, as in the history; and this door's names of what it may."""

    id: str
    user_name: str
    display_name: str
    org_id: str
    org_name: str
    permissions: list[str]


class Tokens(Out):
    access_token: str
    refresh_token: str
    access_token_expires_at: Annotated[int, Meta(description="Seconds since 1970")]


# campaigns


class CampaignSettings(In):
    """Kept as it is, and shown; nothing depends on it."""

    settings: Annotated[dict[Key, Value], Meta(max_length=100)] = {}


class CampaignDraft(In):
    name: Name
    description: Description = ""
    packages: list[PackageId] = []
    campaign_settings: CampaignSettings | UnsetType = UNSET


class UpdateSpec(In):
    """What is absent stays as it is."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    packages: list[PackageId] | UnsetType = UNSET
    campaign_settings: CampaignSettings | UnsetType = UNSET


class CampaignEdit(In):
    update_spec: UpdateSpec
    campaign_id: Id | UnsetType = UNSET


class CampaignRef(In):
    """The id of the path again, if at all."""

    campaign_id: Id | UnsetType = UNSET


class Packages(Out):
    packages: list[str]


class SettingsMap(Out):
    settings: dict[str, str]


class CampaignInfo(Out):
    status: CampaignStatus
    name: str
    creation_time: Time
    packages: Packages
    id: str
    description: str
    approval_needed: bool
    has_approval: bool
    pre_delivery_callback: str
    post_delivery_callback: str
    campaign_settings: SettingsMap


class PageAsked(Out):
    """What was asked for."""

    number: int
    size: int
    sort: str


class CampaignPage(Out):
    campaigns: list[CampaignInfo]
    page: PageAsked
    page_response: PageInfo


class CampaignOverview(Out):
    status: CampaignStatus
    name: str
    campaign_id: str
    number_of_gateways_in_activation_complete_state: Int64
    number_of_gateways_in_execution_complete_state: Int64
    creation_time: Time
    modification_time: Time
    total_number_of_gateways: Int64
    total_number_of_packages: Int64
    number_of_gateways_in_download_complete_state: Int64
    description: str


class CampaignCounts(Out):
    """`aproved` is the contract's spelling."""

    aproved_not_started_count: Int64
    started_count: Int64
    stopped_count: Int64
    waiting_approval_count: Int64
    no_approval_needed_ready_to_start_count: Int64


# gateways


class GatewayIds(In):
    gateway_ids: list[GatewayId]
    campaign_id: Id | UnsetType = UNSET


class ThingsWanted(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A gateway and the things behind it that are to take part. snake_case, as the page has it."""

    gateway_id: GatewayId
    thing_ids: list[GatewayId]


class GatewayThingsIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    gateway_things: list[ThingsWanted]


class GatewayThings(msgspec.Struct, kw_only=True):
    """What became of the things of one gateway. `caused_by`: why those that were not processed were not."""

    gateway_id: str
    thing_ids: list[str]
    not_processed_thing_ids: list[str]
    state: Annotated[str, Meta(description="A `GatewayState`; empty for a gateway that has no part in the campaign")]
    closed: bool
    caused_by: str = msgspec.field(name="causedBy")
    download_progress: list[str]
    execution_progress: list[str]
    timestamp: Int64


class GatewayThingsOut(msgspec.Struct, kw_only=True):
    gateway_things: list[GatewayThings]
    not_processed_thing_ids: list[str]


class GatewayRef(In):
    """The ids of the path again, if at all."""

    gateway_id: Id | UnsetType = UNSET
    campaign_id: Id | UnsetType = UNSET


class GatewayPackages(GatewayRef, kw_only=True):
    """No packages: those of the campaign again."""

    packages: list[PackageId]


class Schedule(GatewayRef):
    """0 and 0, or nothing: at once and without end."""

    begin: TimeIn = 0
    end: TimeIn = 0


class Gateway(Out):
    gateway_id: str
    state: GatewayState
    closed: bool


class GatewayPage(Out):
    page_response: PageInfo
    gateways: list[Gateway]


class State(Out):
    state: GatewayState


class PackageProgress(Out):
    """Bytes."""

    progress: Int64
    total: Int64
    id: str


class DownloadProgress(Out):
    packages_progress: list[PackageProgress]


class ExecutionProgress(Out):
    """The latest lines that the gateway printed, the oldest first."""

    progress: list[str]


class GatewayStatus(Out):
    campaign_id: str
    campaign_state: State
    timestamp: Time
    download_progress: DownloadProgress
    execution_progress: list[str]
    gateway_id: str


class ActiveCampaigns(Out):
    campaign_id: list[str]


# packages


class Program(Out):
    description: str
    id: str
    created_by: str
    created_on: Time
    name: str


class ProgramPage(Out):
    programs: list[Program]
    page_info: PageInfo


# the organization


class ApprovalSettings(In):
    """What is absent stays as it is."""

    approval_needed: bool | UnsetType = UNSET
    four_eyes: bool | UnsetType = UNSET


class Category(StrEnum):
    CAMPAIGN = "campaign"


class SettingsChange(In):
    """`finalSettings` is taken and has no effect: no organization decides for those below it."""

    category: Category
    settings: ApprovalSettings
    final_settings: dict[str, bool] = {}


class ApprovalShown(Out):
    approval_needed: bool
    four_eyes: bool


class OrganizationSettings(Out):
    category: Category
    settings: ApprovalShown
    final_settings: dict[str, bool] = {}


# callbacks, and groups that are followed


class Callback(In):
    """The webhook that is told; "" for none any more."""

    notification_destination_id: Annotated[str, Meta(max_length=36, pattern=LINE)]
    campaign_id: Id | UnsetType = UNSET


class StateChangeCallback(Callback):
    """`trackedStates`: only changes to these; none for all."""

    tracked_states: Annotated[list[GatewayState], Meta(max_length=50)] = []


class DistributionListSet(In):
    """The group that is followed, "" for none, and how often it is looked at; 0 or "" for once, at the start."""

    distribution_list_id: Annotated[str, Meta(max_length=36, pattern=LINE)]
    reevaluation_interval_seconds: (
        Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,8})?(?![\s\S])")] | Annotated[int, Meta(ge=0, le=10**9 - 1)]
    ) = ""
    campaign_id: Id | UnsetType = UNSET


class DistributionList(Out):
    distribution_list_id: str
    reevaluation_interval_seconds: Int64
    campaign_id: str


# notification destinations

Tls = Literal["NO_CERT", "TLS1_2"]
Authentication = Literal["NO_AUTH", "BASIC"]
ShortName = Annotated[str, Meta(min_length=1, max_length=100, pattern=LINE)]
Host = Annotated[str, Meta(min_length=1, max_length=253, pattern=LINE)]
Port = Annotated[int, Meta(ge=1, le=65_535)]
Certificate = Annotated[str, Meta(max_length=20_000, description="PEM")]
Login = Annotated[str, Meta(max_length=255, pattern=LINE)]


class DestinationDraft(In):
    """`sslTlsVersion` NO_CERT is plain http. `username` and `password` are for BASIC, and say so by themselves."""

    name: ShortName
    host: Host
    port: Port
    description: Annotated[str, Meta(max_length=500, pattern=LINE)] = ""
    protocol: Literal["HTTP"] = "HTTP"
    ssl_tls_version: Tls = "NO_CERT"
    certificate: Certificate = ""
    authentication_type: Authentication | UnsetType = UNSET
    username: Login = ""
    password: Login = ""


class DestinationChange(In):
    """What is left out stays."""

    id: Id | UnsetType = UNSET
    name: ShortName | UnsetType = UNSET
    host: Host | UnsetType = UNSET
    port: Port | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=500, pattern=LINE)] | UnsetType = UNSET
    protocol: Literal["HTTP"] | UnsetType = UNSET
    ssl_tls_version: Tls | UnsetType = UNSET
    certificate: Certificate | UnsetType = UNSET
    authentication_type: Authentication | UnsetType = UNSET
    username: Login | UnsetType = UNSET
    password: Login | UnsetType = UNSET


class MadeDestination(Out):
    id: str


class Destination(Out):
    """The password is never shown."""

    id: str
    name: str
    description: str
    protocol: str
    host: str
    port: int
    ssl_tls_version: Tls
    certificate: str
    authentication_type: Authentication
    username: str
    org_id: str
    created_by: str
    created_time: Int64
    last_updated_by: str
    last_updated_time: Int64
    update_version: int


class DestinationPage(Out):
    page_info: PageInfo
    notification_destinations: list[Destination]
