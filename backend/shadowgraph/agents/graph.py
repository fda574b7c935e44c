"""Turns a request into files that were checked, or into an answer: researcher, planner, executor, coder, finalizer."""

from langgraph.graph import END, START, StateGraph

from shadowgraph.agents.nodes.coder import coder
from shadowgraph.agents.nodes.executor import executor
from shadowgraph.agents.nodes.finalizer import finalizer
from shadowgraph.agents.nodes.planner import planner
from shadowgraph.agents.nodes.researcher import researcher
from shadowgraph.agents.state import PipelineInput, PipelineOutput, PipelineState

builder = StateGraph(PipelineState, input_schema=PipelineInput, output_schema=PipelineOutput)
builder.add_node("researcher", researcher)
builder.add_node("planner", planner)
builder.add_node("executor", executor)
builder.add_node("coder", coder)
builder.add_node("finalizer", finalizer)
builder.add_edge(START, "researcher")
builder.add_edge("researcher", "planner")
builder.add_edge("planner", "executor")
builder.add_edge("executor", "coder")
builder.add_edge("coder", "finalizer")
builder.add_edge("finalizer", END)
graph = builder.compile(name="pipeline")
