"""What differs between the distributions' rclpy: Humble's is older than what the nodes are written for (Jazzy, Kilted).

Each function takes the newer way where it is there. Nothing else in dp3d_ros asks for a distribution.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

__all__ = ["PublisherEventCallbacks", "SubscriptionEventCallbacks", "after_parameters_change", "parameters_of_file",
           "with_info"]  # fmt: skip


def with_info(callback: Callable[[Any, dict], None]) -> Callable:
    """A subscription's callback(message, info); in Humble, which tells nothing of a message, info is {}."""
    from rclpy.subscription import Subscription

    if hasattr(Subscription, "CallbackType"):
        return callback
    return lambda message: callback(message, {})


def after_parameters_change(node, check: Callable, changed: Callable[[list], None]) -> None:
    """Let check(parameters) refuse changes of parameters, and call changed(parameters) once they hold."""
    if hasattr(node, "add_post_set_parameters_callback"):
        node.add_on_set_parameters_callback(check)
        node.add_post_set_parameters_callback(changed)
        return

    def check_and_announce(parameters):
        result = check(parameters)
        if result.successful:  # Humble sets them when this has returned: a timer comes after that

            def announce():
                node.destroy_timer(timer)
                changed(parameters)

            timer = node.create_timer(0.0, announce)
        return result

    node.add_on_set_parameters_callback(check_and_announce)


def parameters_of_file(path: str | Path, node_name: str) -> dict[str, Any]:
    """The parameters that a YAML file gives the node with this full name, later and more special names first."""
    import yaml

    home, _, name = node_name.rpartition("/")
    content = yaml.safe_load(Path(path).read_text()) or {}
    found: dict[str, Any] = {}
    for key in ("/**", f"/**/{name}", name, node_name):
        found |= (content.get(key) or {}).get("ros__parameters") or {}
    nested = (content.get(home or "/") or {}).get(name) or {}
    return found | (nested.get("ros__parameters") or {})
