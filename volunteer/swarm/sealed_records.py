"""Records of a private swarm as they are stored: sealed, so that a peer without the key has nothing of them."""

from __future__ import annotations

from typing import Any

from hivemind.dht.crypto import RecordValidatorBase
from hivemind.utils.serializer import MSGPackSerializer

from volunteer.swarm.swarm_key import NotSealed, SwarmKey

_NOTHING: bytes = MSGPackSerializer.dumps(None)


class SealedRecords(RecordValidatorBase):
    """hivemind's hook around what is stored: values are sealed when they leave, and checked and opened when they come.

    Other validators see the values as they are inside: this one is the outermost (`priority`).
    """

    def __init__(self, key: SwarmKey):
        self._key = key

    @property
    def priority(self) -> int:
        return 100

    def sign_value(self, record: Any) -> bytes:
        return self._key.seal(record.key, record.subkey, record.expiration_time, record.value)

    def validate(self, record: Any) -> bool:
        try:
            self._open(record)
        except NotSealed:
            return False
        return True

    def strip_value(self, record: Any) -> bytes:
        try:
            return self._open(record)
        except NotSealed:  # it was validated before: nothing that is worth an exception in the middle of a search
            return _NOTHING

    def _open(self, record: Any) -> bytes:
        return self._key.unseal(record.key, record.subkey, record.expiration_time, record.value)
