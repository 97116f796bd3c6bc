"""The properties of networks, volumes, tags and pulled images, as tables."""

from functools import partial

from plugins.bridge.schema import Attribute, Schema
from plugins.bridge.state import SDK_TIMEOUTS
from plugins.docker.container_schema import LABELS

_new = partial(Attribute, force_new=True)

NETWORK = Schema(
    version="1",
    autonamed="name",
    attributes={
        "attachable": _new("boolean"),
        "driver": _new(computed=True),
        "ingress": _new("boolean"),
        "internal": _new("boolean", computed=True),
        "ipamConfigs": _new(
            "set",
            {
                "auxAddress": _new("map"),
                "gateway": _new(),
                "ipRange": _new(),
                "subnet": _new(),
            },
            computed=True,
            terraform_name="ipam_config",
        ),
        "ipamDriver": _new(default="default"),
        "ipamOptions": _new("map"),
        "ipv6": _new("boolean"),
        "labels": _new("set", LABELS),
        "name": _new(required=True),
        "options": _new("map", computed=True),
        "scope": Attribute(computed=True, output=True),
    },
)

VOLUME = Schema(
    version="1",
    autonamed="name",
    attributes={
        "cluster": Attribute("set", {}, single=True, supported=False),
        "driver": _new(computed=True),
        "driverOpts": _new("map"),
        "labels": _new("set", LABELS),
        "mountpoint": Attribute(computed=True, output=True),
        "name": _new(computed=True),
    },
)

REMOTE_IMAGE = Schema(
    timeouts=SDK_TIMEOUTS,
    attributes={
        "build": Attribute("set", {}, single=True, supported=False),
        "forceRemove": Attribute("boolean"),
        "imageId": Attribute(computed=True, output=True),
        "keepLocally": Attribute("boolean"),
        "name": _new(required=True),
        "platform": _new(),
        "pullTriggers": _new("set"),
        "repoDigest": Attribute(computed=True, output=True),
        "triggers": _new("map"),
    },
)

TAG = Schema(
    attributes={
        "sourceImage": _new(required=True),
        "sourceImageId": Attribute(computed=True, output=True),
        "tagTriggers": _new("list"),
        "targetImage": _new(required=True),
    },
)
