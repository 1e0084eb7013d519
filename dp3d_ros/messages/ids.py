"""Text ids of trackers as the integers of the stream, and back. Knows nothing of ROS."""

import re
from collections import OrderedDict

FIRST_INVENTED = 1_000_000
_TOPIC_TOKEN = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*", re.ASCII)


def is_topic_token(text):
    """Whether ROS takes this id as part of a topic name: no digit first, nothing but letters, digits and single _."""
    return bool(_TOPIC_TOKEN.fullmatch(text))


def topic_token(text):
    """The id as part of a topic name: "12" is "b12", and whatever cannot stand there becomes _."""
    token = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", text)).strip("_")
    return token if token[:1].isalpha() else f"b{token}"


class IdTable:
    """The same text gives the same integer while it is in use: "12" is 12, any other text gets a number of its own."""

    def __init__(self, size=4096):
        self._size = size
        self._numbers = OrderedDict()
        self._next = FIRST_INVENTED

    def number(self, text):
        """The integer of this id; the longest unused id is forgotten when there are too many."""
        if text.isascii() and text.isdecimal() and int(text) < FIRST_INVENTED:
            return int(text)
        if text not in self._numbers:
            self._numbers[text] = self._next
            self._next += 1
            if len(self._numbers) > self._size:
                self._numbers.popitem(last=False)
        self._numbers.move_to_end(text)
        return self._numbers[text]

    def names(self):
        """{integer: text} of the ids that are not their own number."""
        return {number: text for text, number in self._numbers.items()}
