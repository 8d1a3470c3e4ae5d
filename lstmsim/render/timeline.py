"""Timelines as Chrome trace events (Perfetto opens them) and as an SVG Gantt chart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from lstmsim._version import __version__
from lstmsim.render.text import PHASE_WORDS
from lstmsim.render.units import time_text

if TYPE_CHECKING:
    from lstmsim.timeline import Slice, Timeline

# Okabe and Ito's palette: told apart with every kind of colour vision
COLORS = {
    "launch": "#999999",
    "weight_load": "#E69F00",
    "layer": "#56B4E9",
    "input": "#CC79A7",
    "gates": "#0072B2",
    "elementwise": "#009E73",
    "dense": "#D55E00",
    "output": "#F0E442",
    "waiting": "#000000",
}
TRACK_ORDER = ("launch", "weights", "layers", "input copy", "gate engine", "element-wise", "output")
WIDTH, LEFT, ROW, GAP, AXIS = 1200, 190, 22, 8, 46
MAX_BOXES = 20_000


def trace_events(timeline: Timeline) -> dict[str, Any]:
    """Return the trace as Chrome's JSON object format: complete events in microseconds, names as metadata."""
    tracks = _tracks(timeline)
    numbers = {key: number for number, key in enumerate(tracks, start=1)}
    instances = sorted({instance for instance, _ in tracks})
    events = [_metadata("process_name", instance + 1, 0, name=_process(instance)) for instance in instances]
    for (instance, track), number in numbers.items():
        events.append(_metadata("thread_name", instance + 1, number, name=track))
        events.append(_metadata("thread_sort_index", instance + 1, number, sort_index=number))
    events += [_complete(piece, numbers[piece.instance, piece.track]) for piece in timeline.slices]
    return {"traceEvents": events, "displayTimeUnit": "ns", "otherData": summary(timeline)}


def trace_json(timeline: Timeline) -> str:
    """Return the trace as text."""
    return json.dumps(trace_events(timeline), ensure_ascii=False, separators=(",", ":"))


def summary(timeline: Timeline) -> dict[str, Any]:
    """Return what is known about the timeline, without its slices."""
    return {
        "network": timeline.network,
        "device": timeline.device,
        "batch": timeline.batch,
        "instances": timeline.instances,
        "clock_hz": timeline.clock_hz,
        "total_s": timeline.total_s,
        "estimate_s": timeline.estimate_s,
        "difference": timeline.difference,
        "detail": timeline.detail,
        "inputs_left_out": timeline.dropped,
        "slices": len(timeline.slices),
        "config": timeline.config,
        "lstmsim": __version__,
    }


def gantt_svg(timeline: Timeline) -> str:
    """Return the schedule as an SVG: the whole call, and below it one time step of the longest layer."""
    whole = _panel("Whole call", timeline.slices, _tracks(timeline), 0.0, timeline.total_s, 40)
    parts, bottom = whole
    zoom = _one_step(timeline)
    if zoom:
        low, high = zoom[0].start_s, max(piece.end_s for piece in zoom)
        tracks = sorted({(piece.instance, piece.track) for piece in zoom}, key=_order)
        more, bottom = _panel(f"One time step ({zoom[0].name})", zoom, tracks, low, high, bottom + 30)
        parts += more
    parts += _legend(timeline, bottom + 10)
    height = bottom + 50
    title = f"{timeline.network} on {timeline.device}: {time_text(timeline.total_s)}"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label={quoteattr(title)} font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#ffffff"/><title>{escape(title)}</title>'
        f'<text x="12" y="22" font-size="16" font-weight="bold">{escape(title)}</text>'
    )
    return head + "".join(parts) + "</svg>\n"


def _tracks(timeline: Timeline) -> list[tuple[int, str]]:
    return sorted({(piece.instance, piece.track) for piece in timeline.slices}, key=_order)


def _order(key: tuple[int, str]) -> tuple[int, str, int, str]:
    instance, track = key
    rank = next((i for i, word in enumerate(TRACK_ORDER) if track.startswith(word)), len(TRACK_ORDER))
    cell = track.partition(",")[2]
    engine = "ifgo".find(track.removeprefix("gate engine ")[:1]) if track.startswith("gate engine") else 0
    return (instance, f"{cell:>20}" if rank else "", rank, f"{engine}{track}")


def _process(instance: int) -> str:
    return "host" if instance < 0 else f"kernel {instance + 1}"


def _metadata(kind: str, process: int, thread: int, **arguments: Any) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": arguments}


def _complete(piece: Slice, thread: int) -> dict[str, Any]:
    arguments = {"input": piece.input + 1, "layer": piece.layer + 1}
    return {
        "ph": "X",
        "name": piece.name,
        "cat": piece.kind,
        "pid": piece.instance + 1,
        "tid": thread,
        "ts": piece.start_s * 1e6,
        "dur": (piece.end_s - piece.start_s) * 1e6,
        "args": {name: number for name, number in arguments.items() if number > 0},
    }


def _one_step(timeline: Timeline) -> list[Slice]:
    if timeline.detail != "steps":
        return []
    updates = [piece for piece in timeline.slices if piece.kind == "elementwise" and piece.instance == 0]
    if not updates:
        return []
    chosen = max(updates, key=lambda piece: (piece.end_s - piece.start_s, -piece.start_s))
    key = (chosen.name, chosen.input, chosen.layer)
    return [piece for piece in timeline.slices if (piece.name, piece.input, piece.layer) == key]


def _panel(
    title: str, slices: Any, tracks: list[tuple[int, str]], low: float, high: float, top: int
) -> tuple[list[str], int]:
    """Return the SVG of one chart and where it ends; boxes narrower than a fifth of a pixel are joined."""
    scale = (WIDTH - LEFT - 20) / max(high - low, 1e-12)
    rows = {key: top + 24 + i * ROW for i, key in enumerate(tracks)}
    bottom = top + 24 + len(tracks) * ROW
    parts = [f'<text x="12" y="{top + 12}" font-weight="bold">{escape(title)}</text>']
    many = len({instance for instance, _ in tracks if instance >= 0}) > 1
    for (instance, track), y in rows.items():
        label = f"{instance + 1}: {track}" if many and instance >= 0 else track
        parts.append(f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y + ROW - 1}" y2="{y + ROW - 1}" stroke="#e5e5e5"/>')
    reached = dict.fromkeys(tracks, -1.0)
    boxes = 0
    for piece in sorted(slices, key=lambda piece: piece.start_s):
        key = (piece.instance, piece.track)
        x, end = LEFT + (piece.start_s - low) * scale, LEFT + (piece.end_s - low) * scale
        if end - reached[key] < 0.2 or boxes >= MAX_BOXES:
            continue
        x, reached[key], boxes = max(x, reached[key]), end, boxes + 1
        parts.append(
            f'<rect x="{x:.2f}" y="{rows[key] + 2}" width="{max(end - x, 0.2):.2f}" height="{ROW - 5}" '
            f'fill="{COLORS[piece.kind]}"><title>{escape(_hint(piece))}</title></rect>'
        )
        if end - x > 8 * len(piece.name):
            ink = "#ffffff" if piece.kind in ("gates", "dense", "elementwise", "waiting") else "#000000"
            parts.append(
                f'<text x="{x + 4:.2f}" y="{rows[key] + 14}" fill="{ink}" font-size="11">{escape(piece.name)}</text>'
            )
    for tick in range(6):
        x = LEFT + (WIDTH - LEFT - 20) * tick / 5
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + 24}" y2="{bottom + 4}" stroke="#bbb" stroke-dasharray="2 3"/>'
        )
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" fill="#444">'
            f"{time_text((high - low) * tick / 5)}</text>"
        )
    return parts, bottom + 24


def _hint(piece: Slice) -> str:
    return f"{piece.name}, {PHASE_WORDS.get(piece.kind, piece.kind)}: {time_text(piece.end_s - piece.start_s)}"


def _legend(timeline: Timeline, top: int) -> list[str]:
    kinds = [kind for kind in COLORS if any(piece.kind == kind for piece in timeline.slices)]
    parts, x = [], LEFT
    for kind in kinds:
        word = PHASE_WORDS.get(kind, kind)
        parts.append(f'<rect x="{x}" y="{top}" width="12" height="12" fill="{COLORS[kind]}" stroke="#444"/>')
        parts.append(f'<text x="{x + 17}" y="{top + 11}">{escape(word)}</text>')
        x += 34 + 7 * len(word)
    return parts
