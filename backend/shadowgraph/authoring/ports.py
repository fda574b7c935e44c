"""How an authoring function finds what it works with."""

from shadowgraph.core.calls import RunPorts, current_ports


def require_ports() -> RunPorts:
    """Those of the current run; outside any run, plain ones that need no database."""
    if ports := current_ports.get():
        return ports
    # Inside a run this never happens, and the run's own process must not load what it needs.
    from shadowgraph.wiring.standalone import standalone_ports

    return standalone_ports()
