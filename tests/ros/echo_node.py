"""Sends each keypoint cloud straight back: the bare DDS round trip that the lifter's latency is compared with."""

from rclpy.node import Node
from sensor_msgs.msg import PointCloud2

from dp3d_ros.lifter.inputs import newest_wins
from dp3d_ros.node.spin import run


class Echo(Node):
    def __init__(self):
        super().__init__("echo")
        publisher = self.create_publisher(PointCloud2, "/echo/skeletons", 5)
        self.create_subscription(PointCloud2, "/echo/keypoints", publisher.publish, newest_wins())


if __name__ == "__main__":
    run(Echo)
