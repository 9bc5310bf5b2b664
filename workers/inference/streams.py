"""What a replica remembers of its streams: how each is tokenized, and the words and window of each scope."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, Full, Queue

from pipeline.errors import UsageError
from pipeline.frame import Frame
from pipeline.models import Model
from pipeline.tokenizers import FullTokenizer, InterTokenizer, IntraTokenizer, Tokenizer
from vocab.connection import RedisClient
from vocab.errors import StoreUnavailable
from vocab.follower import VocabularyFollower
from vocab.keeper import KeeperEvent
from vocab.redis_store import RedisStore
from vocab.redis_window import RedisWindow
from vocab.window import Patches, PatchSampler, WindowOptions
from vocab.words import Normalisation, Vocabulary
from workers.contract.messages import TokenSettings

# Seconds without a frame after which a stream's or scope's state goes.
_UNUSED_S = 60.0
# Patches that wait for a slow Redis; beyond that the newest are left out.
_WAITING_FRAMES = 256


class Scope:
    """Words and window of one scope, for one model.

    Args:
        client: of Redis.
        name: of the scope.
        model: whose patches they are of.
        options: what goes to the window.

    Attributes:
        used_at: `time.monotonic()` when a stream last asked for it.
    """

    def __init__(self, client: RedisClient, name: str, model: Model, options: WindowOptions) -> None:
        assert model.patch_size is not None
        scale = Normalisation(model.input.mean, model.input.std)
        store = RedisStore(client, name, model.patch_size, scale)
        self.window = RedisWindow(client, name, model.patch_size, options)
        self.used_at = time.monotonic()
        self._refusal: str | None = None
        self._follower = VocabularyFollower(
            store, prepare=lambda words: words.to(model.device), on_event=self._hear
        )
        # The first look is made here, so that words the scope has already are in use from the first frame.
        self.look()

    def look(self) -> None:
        """Fetches newer words, where there are any."""
        self._follower.step()

    def vocabulary(self) -> Vocabulary | None:
        """The newest words; None while there are none."""
        return self._follower.latest()

    @property
    def refusal(self) -> str | None:
        """Why the scope's words are no use to the model; None when they are, or when there are none."""
        return self._refusal if self._follower.latest() is None else None

    def _hear(self, event: KeeperEvent) -> None:
        if event.kind == "refused":
            self._refusal = event.message.removesuffix("; the words at hand go on")


class StreamTokens:
    """How the frames of one stream become tokens.

    Args:
        settings: what was asked for.
        model: that runs them.
        scope: of its words; None where it needs none.
        options: what goes to the scope's window.
    """

    def __init__(
        self, settings: TokenSettings, model: Model, scope: Scope | None, options: WindowOptions
    ) -> None:
        self.settings = settings
        self.model = model
        self.scope = scope
        self.used_at = time.monotonic()
        self._tokenizer: Tokenizer = FullTokenizer()
        if settings.tokenizer == "intra":
            self._tokenizer = IntraTokenizer(settings.drop)
        if scope is not None:
            assert model.patch_size is not None
            self._sampler = PatchSampler(options, model.patch_size, seed=secrets.randbits(32))

    def tokenizer(self) -> Tokenizer:
        """What plans the next frames; changes over to new words between passes, never inside one."""
        words = None if self.scope is None else self.scope.vocabulary()
        if words is not None:
            current = self._tokenizer
            if not isinstance(current, InterTokenizer) or current.vocabulary is not words:
                self._tokenizer = InterTokenizer(words, self.settings.threshold)
        return self._tokenizer

    def sample(self, frame: Frame) -> Patches | None:
        """The patches of a frame that go to the window; None for a frame that is not sampled."""
        return self._sampler.take(frame.image, frame.ready_at if frame.pts_s is None else frame.pts_s)


class Streams:
    """The states of all streams of a replica. Its threads follow the words and feed the windows.

    Args:
        connect: gives the client of Redis; may raise StoreUnavailable.
        options: what goes to a window.
        unused_s: seconds without a frame after which a state goes.
    """

    def __init__(
        self, connect: Callable[[], RedisClient], options: WindowOptions, unused_s: float = _UNUSED_S
    ) -> None:
        self._connect = connect
        self._options = options
        self._unused_s = unused_s
        self._streams: dict[str, StreamTokens] = {}
        self._scopes: dict[tuple[str, str], Scope] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._waiting: Queue[tuple[Scope, Patches]] = Queue(_WAITING_FRAMES)
        self._threads = [
            threading.Thread(target=self._follow, name="vwt-words", daemon=True),
            threading.Thread(target=self._feed, name="vwt-window", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def get(self, stream: str, settings: TokenSettings, model: Model) -> StreamTokens:
        """The state of a stream; a new one when its settings or its model are others than before.

        Raises:
            UsageError: the model does not take the tokenizer, or the scope's words are another model's.
            StoreUnavailable: Redis does not answer.
        """
        if settings.tokenizer not in model.tokenizers:
            raise UsageError(
                f"model '{model.name}' does not take the tokenizer {settings.tokenizer}; "
                f"use {' or '.join(model.tokenizers)}"
            )
        scope = self._scope(settings.scope, model) if settings.tokenizer == InterTokenizer.name else None
        with self._lock:
            state = self._streams.get(stream)
            if state is None or (state.settings, state.model, state.scope) != (settings, model, scope):
                state = self._streams[stream] = StreamTokens(settings, model, scope, self._options)
            state.used_at = time.monotonic()
            return state

    def observe(self, state: StreamTokens, frames: Sequence[Frame]) -> None:
        """Samples frames for the window of the stream's scope; never waits for Redis."""
        if state.scope is None:
            return
        for frame in frames:
            patches = state.sample(frame)
            if patches is not None:
                try:
                    self._waiting.put_nowait((state.scope, patches))
                except Full:
                    return

    def close(self) -> None:
        """Ends the threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _scope(self, name: str, model: Model) -> Scope:
        key = (name, model.name)
        with self._lock:
            scope = self._scopes.get(key)
        if scope is None:
            fresh = Scope(self._connect(), name, model, self._options)
            with self._lock:
                scope = self._scopes.setdefault(key, fresh)
        scope.used_at = time.monotonic()
        refusal = scope.refusal
        if refusal is not None:
            # Whoever asks again makes a new one, which looks again.
            with self._lock:
                self._scopes.pop(key, None)
            raise UsageError(f"cannot use the words of {name} with model '{model.name}': {refusal}")
        return scope

    def _follow(self) -> None:
        while not self._stopping.wait(1.0):
            oldest = time.monotonic() - self._unused_s
            with self._lock:
                self._streams = {key: s for key, s in self._streams.items() if s.used_at > oldest}
                self._scopes = {key: s for key, s in self._scopes.items() if s.used_at > oldest}
                scopes = list(self._scopes.values())
            for scope in scopes:
                scope.look()

    def _feed(self) -> None:
        while not self._stopping.is_set():
            try:
                scope, patches = self._waiting.get(timeout=0.2)
                scope.window.add(patches)
            except (Empty, StoreUnavailable):
                # A window with a gap is still a window.
                continue
