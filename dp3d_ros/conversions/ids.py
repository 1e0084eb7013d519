"""Text ids of trackers as the integers of the stream, and back. Knows nothing of ROS."""

from collections import OrderedDict

FIRST_INVENTED = 1_000_000


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
