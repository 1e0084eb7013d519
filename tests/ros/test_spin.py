"""How nodes spin: nobody is left out, and for as long as was asked."""

import time

import pytest
from std_msgs.msg import Header

from dp3d_ros.node.spin import spin_for

pytestmark = pytest.mark.ros


def test_a_busy_subscription_keeps_no_other_from_its_messages(bench):
    heard = []
    busy, quiet = (bench.node.create_publisher(Header, topic, 10) for topic in ("busy", "quiet"))

    def keep_busy(message):
        busy.publish(message)
        time.sleep(0.01)  # the next one is here before this is done

    bench.node.create_subscription(Header, "busy", keep_busy, 10)
    bench.node.create_subscription(Header, "quiet", heard.append, 10)
    bench.until(lambda: busy.get_subscription_count() and quiet.get_subscription_count(), "subscriptions")
    busy.publish(Header())
    spin_for(bench.executor, 0.1)
    quiet.publish(Header())
    bench.until(lambda: heard, "a message beside the busy topic")


@pytest.mark.parametrize("seconds", [0.0, 0.2])
def test_a_callback_does_not_shorten_the_wait(bench, seconds):
    bench.node.create_timer(0.01, lambda: None)
    begun_s = time.monotonic()
    spin_for(bench.executor, seconds)
    assert time.monotonic() - begun_s >= seconds
