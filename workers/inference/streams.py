"""What a replica remembers of its streams: how each is tokenized, and the words and window of each scope."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipeline.errors import UsageError
from pipeline.feeding import WindowFeeder
from pipeline.frame import Frame
from pipeline.guard.guarded import Guarded
from pipeline.guard.promise import Watch
from pipeline.models import Model
from pipeline.tokenizers.registry import kind_of
from pipeline.tokenizers.stream import StreamNeeds, StreamTokenizer
from vocab.connection import RedisClient
from vocab.follower import VocabularyFollower
from vocab.keeper import KeeperEvent
from vocab.redis_store import RedisStore
from vocab.redis_window import RedisWindow
from vocab.repeating import Repeating
from vocab.window import PatchSampler, WindowOptions
from vocab.words import Vocabulary
from workers.contract.messages import TokenSettings
from workers.inference.metrics import RecallMetrics
from workers.memory import Trimmer
from workers.settings.scene_fields import drawn_of

# Seconds without a frame after which a stream's or scope's state goes.
_UNUSED_S = 60.0
_FOLLOW_EVERY_S = 1.0
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
        scale = model.input.normalisation
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


class ScopeWords:
    """The words of a scope for one of its streams.

    Args:
        scope: whose words.
        feeder: takes patches to the scope's window.
        sampler: which frames and patches; None for a stream that is none of the scope's own.
    """

    # Words come from the keeper's learning, whenever that is done.
    missing = 0

    def __init__(self, scope: Scope, feeder: WindowFeeder, sampler: PatchSampler | None) -> None:
        self._scope = scope
        self._sampler = sampler
        self._feeder = feeder

    def observe(self, frames: Sequence[Frame]) -> None:
        """See `WordSource.observe`."""
        if self._sampler is not None:
            self._feeder.sample(frames, self._sampler, self._scope.window)

    def vocabulary(self) -> Vocabulary | None:
        """See `WordSource.vocabulary`."""
        return self._scope.vocabulary()


@dataclass(slots=True, eq=False)
class _Stream:
    """How the frames of one stream become tokens, and what that was made for."""

    settings: TokenSettings
    model: Model
    scope: Scope | None
    tokenizer: StreamTokenizer
    guarded: Guarded
    used_at: float


class Streams:
    """The states of all streams of a replica. Its threads follow the words and feed the windows.

    Args:
        connect: gives the client of Redis; may raise StoreUnavailable.
        options: what goes to a window.
        unused_s: seconds without a frame after which a state goes.
        recall_bytes: what all streams together may keep of earlier frames. It is looked after when frames
            come and every second, so that streams that all began since may keep more for so long.
    """

    def __init__(
        self,
        connect: Callable[[], RedisClient],
        options: WindowOptions,
        unused_s: float = _UNUSED_S,
        recall_bytes: int = 2**30,
    ) -> None:
        self._connect = connect
        self._options = options
        self._unused_s = unused_s
        self._recall_bytes = recall_bytes
        self._metrics = RecallMetrics()
        self._streams: dict[str, _Stream] = {}
        self._scopes: dict[tuple[str, str], Scope] = {}
        self._lock = threading.Lock()
        self._trimmer = Trimmer()
        self._feeder = WindowFeeder(_WAITING_FRAMES)
        self._feeder.start()
        self._follows = Repeating(self._follow, _FOLLOW_EVERY_S, "vwt-words")
        self._follows.start()

    def get(self, stream: str | None, settings: TokenSettings, model: Model) -> Guarded:
        """The tokenizer of a stream, under watch; a new one when its settings or its model are others than
        before.

        Args:
            stream: its id; None for an image of no stream, which goes to no window and recalls nothing.
            settings: how it is tokenized.
            model: that runs it.

        Raises:
            UsageError: the model does not take the tokenizer, the scope's words, zones or classes are
                another model's, or there are no patches to compare.
            StoreUnavailable: Redis does not answer.
        """
        kind = kind_of(settings.tokenizer)
        if kind.name not in model.tokenizers:
            raise UsageError(
                f"model '{model.name}' does not take the tokenizer {kind.name}: {kind.says_needs}; "
                f"use {' or '.join(model.tokenizers)}"
            )
        scope = self._scope(settings.scope, model) if kind.wants_words(settings.options) else None
        if stream is None:
            alone = kind.open(settings.options, StreamNeeds(self._words(scope, model, sampled=False)))
            return Guarded(kind, kind.check(settings.options), alone, Watch())
        with self._lock:
            state = self._streams.get(stream)
            if state is not None and state.settings != settings:
                _rezone(state, settings, model)
            if state is None or (state.settings, state.model, state.scope) != (settings, model, scope):
                scene = settings.scene(model)
                if state is not None:
                    state.tokenizer.close()
                tokenizer = kind.open(settings.options, StreamNeeds(self._words(scope, model)))
                watch = settings.watch(secrets.randbits(32))
                guarded = Guarded(kind, kind.check(settings.options), tokenizer, watch, scene)
                state = self._streams[stream] = _Stream(settings, model, scope, tokenizer, guarded, 0.0)
            state.used_at = time.monotonic()
            self._make_room()
            return state.guarded

    def _make_room(self) -> None:
        """Has the streams not used for longest forget what they recall from, until the others' fits."""
        kept = {stream: stream.tokenizer.bytes for stream in self._streams.values()}
        whole = sum(kept.values())
        for stream in sorted(kept, key=lambda stream: stream.used_at):
            if whole <= self._recall_bytes:
                break
            if kept[stream]:
                stream.tokenizer.forget()
                whole -= kept[stream]
                self._metrics.forgot()
        self._metrics.keeps(whole)

    def close(self) -> None:
        """Ends the threads."""
        self._follows.stop()
        self._feeder.close()

    def _words(self, scope: Scope | None, model: Model, sampled: bool = True) -> ScopeWords | None:
        if scope is None:
            return None
        assert model.patch_size is not None
        seed = secrets.randbits(32)
        sampler = PatchSampler(self._options, model.patch_size, seed=seed) if sampled else None
        return ScopeWords(scope, self._feeder, sampler)

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
        oldest = time.monotonic() - self._unused_s
        with self._lock:
            unused = [key for key, stream in self._streams.items() if stream.used_at <= oldest]
            for key in unused:
                self._streams.pop(key).tokenizer.close()
                self._trimmer.note()
            self._make_room()
            self._scopes = {key: s for key, s in self._scopes.items() if s.used_at > oldest}
            scopes = list(self._scopes.values())
        self._trimmer.step()
        for scope in scopes:
            scope.look()


def _rezone(state: _Stream, settings: TokenSettings, model: Model) -> None:
    """Gives a stream other zones or names; where more was changed nothing is done."""
    alike = replace(state.settings, **drawn_of(settings))
    if state.model is model and alike == settings:
        scene = settings.scene(model)
        if scene is not None:
            scene.follow(state.guarded.scene)
        state.guarded.scene, state.settings = scene, settings
