"""How every node of dp3d starts, spins and ends: one error line instead of a traceback, exit code 0 on SIGINT."""

import os
import signal
import sys
import threading


def run(make_node, args=None, work=None):
    """Run the node from `make_node()` until it is interrupted; returns the exit code.

    work(node, spin_once) does a job that ends by itself and returns the exit code; spin_once(timeout_s) serves the
    node's callbacks for up to that long. A node's `close()`, if it has one, is called at the end in any case.
    """
    # A script's `&` starts its processes with SIGINT ignored, but launch and the demo end nodes by it. rclpy takes the
    # signal in any case; this is for the time before and after it, and while a callback blocks.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        import rclpy
        from rclpy.exceptions import ParameterException
        from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

        rclpy.init(args=args)
    except KeyboardInterrupt:
        return 0
    except ImportError as error:
        print(f"dp3d_ros needs ROS 2: {error}; source your ROS setup, or install the extra [ros]", file=sys.stderr)
        return 1
    node, code = None, 0
    try:
        node = make_node()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if work is None:
            executor.spin()
        else:
            code = work(node, lambda timeout_s: spin_for(executor, timeout_s))
    except (KeyboardInterrupt, ExternalShutdownException):
        code = 0
    except (ParameterException, ValueError, ImportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    finally:
        try:
            _ignore_interrupts()
            if node is not None:
                close = getattr(node, "close", node.destroy_node)
                code = close() or code
            rclpy.try_shutdown()
            _ignore_interrupts()  # rclpy has put the handler back that it had found
        except KeyboardInterrupt:
            print("interrupted while closing", file=sys.stderr)
        _leave_threads_behind(code)
    return code


def _ignore_interrupts():
    """Take no further SIGINT: Ctrl-C comes twice, from the terminal and from launch, and once is enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave_threads_behind(code):
    """End the process at once where a thread still builds engines: it would take tens of seconds to end by itself."""
    if any(thread.daemon and thread.name.startswith("dp3d") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def spin_for(executor, timeout_s):
    """Serve callbacks, each in its turn, until `timeout_s` has passed; one that is ready does not shorten the wait."""
    from rclpy.executors import ExternalShutdownException
    from rclpy.task import Future

    # spin_once with a timeout of its own each time would begin at the first subscription each time, and while that is
    # busy never come to the others
    executor.spin_until_future_complete(Future(), timeout_sec=max(0.0, timeout_s))
    if not executor.context.ok():
        raise ExternalShutdownException()
