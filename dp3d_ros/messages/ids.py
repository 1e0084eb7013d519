"""Text ids of trackers as the integers of the stream, and back. Knows nothing of ROS."""

import hashlib
import re
from collections import OrderedDict

FIRST_INVENTED = 1_000_000
LONGEST = 64
"""Longer texts are kept as their beginning and a digest: what strangers send must not fill the memory."""
_TOPIC_TOKEN = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*", re.ASCII)
_OURS = re.compile(r"bm?\d+|.*_m?\d{7,}", re.ASCII)
"""Tokens as `topic_token` makes them; a text that looks like one gets another."""


def is_topic_token(text: str) -> bool:
    """Whether ROS takes this id as part of a topic name: no digit first, nothing but letters, digits and single _."""
    return bool(_TOPIC_TOKEN.fullmatch(text))


def topic_token(text: str, number: int) -> str:
    """The id as part of a topic name; `number` is its integer, so that different ids have different tokens.

    A text that can stand there is kept; "7" with the number 7 is "b7"; any other is what is left of it, and the number.
    """
    end = str(number).replace("-", "m")
    if text == str(number):
        return f"b{end}"
    if is_topic_token(text) and len(text) <= LONGEST and not _OURS.fullmatch(text):
        return text
    kept = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", text)).strip("_")[:LONGEST].strip("_")
    return f"{kept}_{end}" if kept[:1].isalpha() else f"b{kept}_{end}"


class IdTable:
    """The same text gives the same integer while it is in use: "12" is 12, any other text gets a number of its own."""

    def __init__(self, size: int = 4096):
        self._size = size
        self._numbers: OrderedDict[str, int] = OrderedDict()
        self._next = FIRST_INVENTED

    def number(self, text: str) -> int:
        """The integer of this id; the longest unused id is forgotten when there are too many."""
        short = len(text) < len(str(FIRST_INVENTED)) and text.isascii() and text.isdecimal()
        if short and str(int(text)) == text:
            return int(text)
        if len(text) > LONGEST:
            text = f"{text[:LONGEST]}_{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"
        if text not in self._numbers:
            self._numbers[text] = self._next
            self._next += 1
            if len(self._numbers) > self._size:
                self._numbers.popitem(last=False)
        self._numbers.move_to_end(text)
        return self._numbers[text]

    def names(self) -> dict[int, str]:
        """{integer: text} of the ids that are not their own number."""
        return {number: text for text, number in self._numbers.items()}
