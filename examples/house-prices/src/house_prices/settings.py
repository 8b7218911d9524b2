"""Project settings (see the Kedro documentation)."""

from omegaconf.resolvers import oc

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "bodega",
    # Kedro resolves environment variables only where a project asks for it: MULTIPLIER is one.
    "custom_resolvers": {"oc.env": oc.env},
}
