"""What the hub would start for a person: notebook.py CONFIG SIGN-IN PROFILE prints the pod as JSON.

The configuration is the one of the blueprint, read by JupyterHub's own loader; KubeSpawner makes the pod. SIGN-IN is
the JSON that a sign-in leaves behind.
"""

import asyncio
import json
import sys
from unittest.mock import MagicMock

from kubernetes_asyncio.client import ApiClient
from kubespawner import KubeSpawner
from traitlets.config import PyFileConfigLoader


class Group:
    """A group of the hub."""

    def __init__(self, name):
        self.name = name


class Person:
    """Somebody who has signed in."""

    id, url, escaped_name, settings = 1, "/user/ada", "ada", {}

    def __init__(self, sign_in):
        self.name = sign_in["name"]
        self.groups = [Group(name) for name in sign_in["groups"]]
        self.state = sign_in["state"]

    async def get_auth_state(self):
        return self.state


async def pod(config, sign_in, profile):
    spawner = KubeSpawner(config=config, user=Person(sign_in), _mock=True)
    spawner.hub = MagicMock()
    spawner.get_env = lambda: {}
    spawner.user_options = {"profile": profile}
    await spawner.load_user_options()
    await spawner.pre_spawn_hook(spawner)
    return ApiClient().sanitize_for_serialization(await spawner.get_pod_manifest())


loaded = PyFileConfigLoader(sys.argv[1]).load_config()
made = asyncio.run(pod(loaded, json.loads(sys.argv[2]), sys.argv[3]))
print(json.dumps({"apiVersion": "v1", "kind": "Pod", **made}))
