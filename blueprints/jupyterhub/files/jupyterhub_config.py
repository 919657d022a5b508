"""The hub's configuration. What a site decides is in settings.json; nothing of it becomes code."""

import json
import os
import secrets
from pathlib import Path

STATE = Path(os.environ.get("HUB_STATE", "/srv/jupyterhub"))
SETTINGS = Path(os.environ.get("HUB_SETTINGS", "/etc/jupyterhub/settings.json"))
# Below this are the system's own users on every distribution.
FIRST_PERSON = 1000

settings = json.loads(SETTINGS.read_text())
c = get_config()  # noqa: F821, JupyterHub defines it


def key(name):
    """A key that is made once and stays with the hub's other state, readable by the hub alone."""
    path = STATE / name
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text()


# Hub and proxy.
c.JupyterHub.ip = "0.0.0.0"
c.JupyterHub.hub_ip = "0.0.0.0"
c.JupyterHub.hub_connect_url = settings["hubUrl"]
c.JupyterHub.cookie_secret_file = str(STATE / "jupyterhub_cookie_secret")
c.JupyterHub.db_url = os.environ.get("HUB_DATABASE") or f"sqlite:///{STATE}/jupyterhub.sqlite"
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = settings["proxyUrl"]
# Notebooks outlive the hub.
c.JupyterHub.cleanup_servers = False
c.CryptKeeper.keys = [key("crypt_key")]

# Who may sign in.
login = settings["login"]
posix = settings.get("posix")
c.Authenticator.enable_auth_state = True
c.Authenticator.admin_users = set(settings["admins"])
if "oidc" in login:
    oidc = login["oidc"]
    base = oidc["issuer"] + "/protocol/openid-connect"
    c.JupyterHub.authenticator_class = "generic-oauth"
    provider = c.GenericOAuthenticator
    provider.client_id = oidc["clientId"]
    provider.client_secret = os.environ.get("HUB_CLIENT_SECRET", "")
    provider.oauth_callback_url = settings["url"] + "/hub/oauth_callback"
    provider.authorize_url = oidc.get("authorizeUrl", base + "/auth")
    provider.token_url = oidc.get("tokenUrl", base + "/token")
    provider.userdata_url = oidc.get("userinfoUrl", base + "/userinfo")
    provider.scope = ["openid", "profile", "email", "groups"]
    provider.username_claim = oidc["usernameClaim"]
    provider.manage_groups = True
    provider.auth_state_groups_key = "oauth_user." + oidc["groupsClaim"]
    provider.allowed_groups = set(login["groups"])
    provider.allow_all = not login["groups"]
    provider.admin_groups = set(settings["adminGroups"])
else:
    ldap = login["ldap"]
    c.JupyterHub.authenticator_class = "ldap"
    directory = c.LDAPAuthenticator
    directory.server_address = ldap["server"]
    directory.tls_strategy = "on_connect"
    directory.lookup_dn = True
    directory.user_search_base = ldap["searchBase"]
    directory.user_attribute = ldap["userAttribute"]
    directory.lookup_dn_search_user = ldap.get("bindDn")
    directory.lookup_dn_search_password = os.environ.get("HUB_CLIENT_SECRET")
    directory.allowed_groups = login["groups"] or None
    directory.allow_all = not login["groups"]
    if posix:
        directory.auth_state_attributes = [posix["uidClaim"], posix["gidClaim"]]

# What is started for them.
home = settings["home"]
c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.KubeSpawner.namespace = settings["namespace"]
c.KubeSpawner.automount_service_account_token = False
c.KubeSpawner.allow_privilege_escalation = False
c.KubeSpawner.start_timeout = 600
c.KubeSpawner.common_labels = {"app": "jupyterhub", "heritage": "jupyterhub"}
c.KubeSpawner.extra_labels = {"sitewright.dev/notebook": "true"}
# A taint or a pressure of memory must not silently take a notebook elsewhere.
c.KubeSpawner.extra_annotations = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
# All homes are in one claim: deleting a person must never delete it (kubespawner#880).
c.KubeSpawner.storage_pvc_ensure = False
c.KubeSpawner.delete_pvc = False
c.KubeSpawner.volumes = {"homes": {"name": "homes", "persistentVolumeClaim": {"claimName": home["claim"]}}}
c.KubeSpawner.volume_mounts = {"homes": {"name": "homes", "mountPath": home["path"], "subPath": "{username}"}}
c.KubeSpawner.working_dir = home["path"]
c.KubeSpawner.notebook_dir = home["path"]
# The kubelet would walk through all homes and change their group.
c.KubeSpawner.fs_gid = None


def profile(name, wanted):
    """One choice, as KubeSpawner wants it."""
    override = {
        "image": wanted["image"],
        "cpu_guarantee": wanted["cpus"],
        "cpu_limit": wanted["cpus"] * 4,
        "mem_guarantee": int(wanted["memory"] * 2**30),
        "mem_limit": int(wanted["memory"] * 2**30),
    }
    if wanted["gpus"]:
        override["extra_resource_limits"] = {settings["gpuResource"]: str(wanted["gpus"])}
        override["tolerations"] = [{"key": settings["taint"], "operator": "Exists"}]
    return {
        "slug": name,
        "display_name": wanted["title"],
        "description": wanted["description"],
        "kubespawner_override": override,
    }


def profiles(spawner):
    """What a person may choose from."""
    mine = {group.name for group in spawner.user.groups}
    fits = [(name, one) for name, one in settings["profiles"].items() if not one["groups"] or mine & set(one["groups"])]
    choices = [profile(name, one) for name, one in fits]
    if not choices:
        raise RuntimeError(f"{spawner.user.name} is in no group that may start anything")
    choices[0]["default"] = True
    return choices


c.KubeSpawner.profile_list = profiles


def claim(state, name):
    """One value of what the sign-in told of a person, wherever this way of signing in puts it."""
    for place in (state.get("oauth_user"), state.get("user_attributes"), state):
        if isinstance(place, dict) and name in place:
            value = place[name]
            return value[0] if isinstance(value, list) and value else value
    return None


def number(state, name, person):
    """A POSIX id; what is none, or the system's, starts nothing."""
    value = claim(state, name)
    try:
        value = int(str(value))
    except ValueError:
        value = -1
    if not FIRST_PERSON <= value < 2**31:
        raise RuntimeError(f"{person} has no usable {name}: ask whoever runs the site's directory")
    return value


def groups(state, name):
    """The POSIX ids of a person's further groups."""
    value = state.get("oauth_user", state).get(name, []) if name else []
    ids = [int(one) for one in value if str(one).isdigit()] if isinstance(value, list) else []
    return [one for one in ids if FIRST_PERSON <= one < 2**31][:256]


async def as_the_person(spawner):
    """Runs the notebook as who signed in, so that files belong to the same person everywhere."""
    uid, gid, more = 1000, 100, []
    if posix:
        state = await spawner.user.get_auth_state() or {}
        uid = number(state, posix["uidClaim"], spawner.user.name)
        gid = number(state, posix["gidClaim"], spawner.user.name)
        more = groups(state, posix.get("groupsClaim"))
    spawner.uid, spawner.gid, spawner.supplemental_gids = uid, gid, more
    spawner.environment.update({"NB_USER": spawner.user.name, "NB_UID": str(uid), "NB_GID": str(gid), "HOME": home["path"]})
    # The kubelet makes the folder of a new home as root: it is given to the person, once, before anything runs in it.
    own = f'if [ "$(stat -c %u /home-of-one)" = 0 ]; then chown {uid}:{gid} /home-of-one; chmod 0700 /home-of-one; fi'
    mount = {"name": "homes", "mountPath": "/home-of-one", "subPath": "{username}"}
    spawner.init_containers = [
        {
            "name": "home",
            "image": settings["toolsImage"],
            "command": ["sh", "-c", own],
            "securityContext": {"runAsUser": 0, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "FOWNER"]}},
            "volumeMounts": [mount],
        }
    ]


c.KubeSpawner.pre_spawn_hook = as_the_person

# Notebooks that nobody uses are stopped; files stay.
cull = settings["cull"]
if cull["idleMinutes"]:
    idle = ["python3", "-m", "jupyterhub_idle_culler", f"--timeout={cull['idleMinutes'] * 60}", "--cull-every=300", "--concurrency=5"]
    if cull["maxHours"]:
        idle.append(f"--max-age={cull['maxHours'] * 3600}")
    c.JupyterHub.services = [{"name": "culler", "command": idle}]
    c.JupyterHub.load_roles = [
        {"name": "culler", "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"], "services": ["culler"]}
    ]
