"""The picture of benches/compare/run.sh --plot: CPU time per request, as bars beside nginx's."""

from xml.sax.saxutils import escape

WIDTH, ROW, TOP, LEFT, RIGHT = 860, 24, 64, 270, 150
# A panel of its own, so that it reads on any page; darker where the reader's system asks for it.
STYLE = """
  .panel { fill: #ffffff; stroke: #d0d7de } .text { fill: #1f2328 } .faint { fill: #59636e } .line { stroke: #8c959f }
  .sidegate { fill: #1f6feb } .nginx { fill: #57a773 } .peer { fill: #bf8700 }
  @media (prefers-color-scheme: dark) {
    .panel { fill: #0d1117; stroke: #3d444d } .text { fill: #f0f6fc } .faint { fill: #9198a1 } .line { stroke: #656c76 }
    .sidegate { fill: #4493f8 } .peer { fill: #d29922 }
  }
  text { font: 13px system-ui, "DejaVu Sans", sans-serif }
"""


def kind(load):
    if load.name.startswith("nginx"):
        return "nginx"
    return "sidegate" if load.server.ops else "peer"


def svg(loads, report):
    rows = [(load, report["scenarios"][load.name]["several"]) for load in loads
            if load.name != "direct" and "several" in report["scenarios"][load.name]]
    most = max(row["cpu_us"] for _, row in rows)
    height = TOP + ROW * len(rows) + 44
    scale = (WIDTH - LEFT - RIGHT) / most
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    heading = f"CPU time per request, {report['connections']} connections"
    foot = f"Median of {report['rounds']} alternating rounds on one machine; less is better."
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
             "<title>CPU time per request</title>", f"<style>{STYLE}</style>",
             f'<rect class="panel" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
             f'<text class="text" x="16" y="28" style="font-weight:600;font-size:15px">{heading}</text>',
             '<text class="faint" x="16" y="48">microseconds, and as a multiple of nginx&#8217;s over the same transport</text>']
    for number, (load, row) in enumerate(rows):
        y = TOP + ROW * number
        long = max(1, row["cpu_us"] * scale)
        ratio = f' <tspan class="faint">{row["ratio_to_nginx"]:.2f}x</tspan>' if "ratio_to_nginx" in row else ""
        indent = 12 if load.title.startswith(" ") else 0
        parts += [f'<text class="text" x="{16 + indent}" y="{y + 16}">{escape(load.title.strip())}</text>',
                  f'<rect class="{kind(load)}" x="{LEFT}" y="{y + 4}" width="{long:.1f}" height="{ROW - 8}" rx="2"/>',
                  f'<text class="text" x="{LEFT + long + 8:.1f}" y="{y + 16}">{row["cpu_us"]:.0f}{ratio}</text>']
    parts += [f'<line class="line" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{TOP + ROW * len(rows)}"/>',
              f'<text class="faint" x="16" y="{height - 16}">{foot}</text>',
              "</svg>"]
    return "\n".join(parts) + "\n"
