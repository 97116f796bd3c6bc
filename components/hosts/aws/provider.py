"""The provider of all AWS resources."""

import pulumi
import pulumi_aws as aws

from configuration.settings import StackSettings


def tags_of_stack() -> dict[str, str]:
    """The tags of everything that the stack has in the account."""
    return {"slipway:project": pulumi.get_project(), "slipway:stack": pulumi.get_stack()}


def make_provider(settings: StackSettings, region: str, parent: pulumi.Resource) -> aws.Provider:
    """The explicit provider of all AWS resources. A default provider could have another region."""
    endpoint = settings.platform.endpoint
    emulated = endpoint is not None
    return aws.Provider(
        "aws",
        region=region,
        default_tags=aws.ProviderDefaultTagsArgs(tags=tags_of_stack()),
        endpoints=[
            aws.ProviderEndpointArgs(
                backup=endpoint,
                ec2=endpoint,
                iam=endpoint,
                route53=endpoint,
                servicequotas=endpoint,
                ssm=endpoint,
                sts=endpoint,
            )
        ]
        if emulated
        else None,
        skip_credentials_validation=True if emulated else None,
        skip_metadata_api_check=True if emulated else None,
        skip_region_validation=True if emulated else None,
        skip_requesting_account_id=True if emulated else None,
        opts=pulumi.ResourceOptions(parent=parent),
    )
