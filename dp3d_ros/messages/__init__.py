"""Pure conversions between messages and arrays, one file per message. None of them needs rclpy or a running node."""
