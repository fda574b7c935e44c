"""The text of the React components that `react.py` fills in."""

CARD = """
import "./$Name.css";

export interface ${Name}Props {
$types
}

/** One $label as a card. */
export default function $Name({ $names }: ${Name}Props) {
  return (
    <article className="panel">
      <h2>{$first_shown}</h2>
      <dl>
$rows
      </dl>
    </article>
  );
}
"""

TEST_CARD = """
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import $Name, { type ${Name}Props } from "./$Name";

afterEach(cleanup);

const props: ${Name}Props = { $sample };

test("shows the $first as its heading", () => {
  render(<$Name {...props} />);

  expect(screen.getByRole("heading").textContent).toBe("$first_text");
});
"""

FORM = """
import { type FormEvent, useState } from "react";

import "./$Name.css";

export interface ${Name}Values {
$types
}

export interface ${Name}Props {
  /** Gets the values when everything that is required is filled in. */
  onSubmit: (values: ${Name}Values) => void;
}

const EMPTY: ${Name}Values = { $empty };

/** A form for one $label. */
export default function $Name({ onSubmit }: ${Name}Props) {
  const [values, setValues] = useState(EMPTY);
  const [problem, setProblem] = useState("");

  function set(name: keyof ${Name}Values, value: string | number | boolean) {
    setValues((current) => ({ ...current, [name]: value }));
  }

  function submit(event: FormEvent) {
    event.preventDefault();
    if ($required) {
      setProblem("Please fill in every field.");
      return;
    }
    setProblem("");
    onSubmit(values);
  }

  return (
    <form className="panel" onSubmit={submit} noValidate>
$inputs
      {problem && <p role="alert">{problem}</p>}
      <button type="submit">Send</button>
    </form>
  );
}
"""

TEST_FORM = """
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";

import $Name from "./$Name";

afterEach(cleanup);

test("an empty form is not sent", () => {
  const onSubmit = vi.fn();
  render(<$Name onSubmit={onSubmit} />);

  fireEvent.click(screen.getByRole("button", { name: "Send" }));

  expect(screen.getByRole("alert")).toBeTruthy();
  expect(onSubmit).not.toHaveBeenCalled();
});
"""

LIST = """
import { useState } from "react";

import "./$Name.css";

export interface $Item {
$types
}

export interface ${Name}Props {
  items: $Item[];
}

/** $Labels as a table with a search box. */
export default function $Name({ items }: ${Name}Props) {
  const [search, setSearch] = useState("");
  const wanted = search.trim().toLowerCase();
  const shown = items.filter((item) => Object.values(item).some((value) => String(value).toLowerCase().includes(wanted)));

  return (
    <section className="panel">
      <label>
        Search
        <input type="search" value={search} onChange={(event) => setSearch(event.target.value)} />
      </label>
      <table>
        <thead>
          <tr>
$headings
          </tr>
        </thead>
        <tbody>
          {shown.map((item, index) => (
            <tr key={index}>
$cells
            </tr>
          ))}
        </tbody>
      </table>
      {shown.length === 0 && <p role="status">Nothing found.</p>}
    </section>
  );
}
"""

TEST_LIST = """
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import $Name, { type $Item } from "./$Name";

afterEach(cleanup);

const item: $Item = { $sample };

test("shows a row for each item", () => {
  render(<$Name items={[item, item]} />);

  expect(screen.getAllByRole("row")).toHaveLength(3);
});

test("says when the search finds nothing", () => {
  render(<$Name items={[item]} />);

  fireEvent.change(screen.getByLabelText("Search"), { target: { value: "no such thing" } });

  expect(screen.getByRole("status").textContent).toBe("Nothing found.");
});
"""

COUNTER = """
import { useState } from "react";

import "./$Name.css";

export interface ${Name}Props {
  /** The value before the first click and after a reset. */
  start?: number;
  /** How much one click changes. */
  step?: number;
}

/** A number with buttons that count it up, down and back to the start. */
export default function $Name({ start = 0, step = 1 }: ${Name}Props) {
  const [count, setCount] = useState(start);

  return (
    <div className="panel">
      <output>{count}</output>
      <button type="button" onClick={() => setCount((current) => current - step)}>
        Less
      </button>
      <button type="button" onClick={() => setCount((current) => current + step)}>
        More
      </button>
      <button type="button" onClick={() => setCount(start)}>
        Reset
      </button>
    </div>
  );
}
"""

TEST_COUNTER = """
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import $Name from "./$Name";

afterEach(cleanup);

test("counts up, down and back", () => {
  render(<$Name start={5} step={2} />);

  fireEvent.click(screen.getByRole("button", { name: "More" }));
  expect(screen.getByRole("status").textContent).toBe("7");
  fireEvent.click(screen.getByRole("button", { name: "Less" }));
  fireEvent.click(screen.getByRole("button", { name: "Less" }));
  expect(screen.getByRole("status").textContent).toBe("3");
  fireEvent.click(screen.getByRole("button", { name: "Reset" }));
  expect(screen.getByRole("status").textContent).toBe("5");
});
"""

CSS = """.panel {
  max-width: 40rem;
  padding: 1.25rem;
  border: 1px solid #d0d5dd;
  border-radius: 0.75rem;
  font-family: system-ui, sans-serif;
}

.panel label {
  display: block;
  margin-bottom: 0.75rem;
}

.panel input {
  display: block;
  margin-top: 0.25rem;
  padding: 0.5rem;
  font: inherit;
}

.panel table {
  width: 100%;
  border-collapse: collapse;
}

.panel th,
.panel td {
  padding: 0.5rem;
  border-bottom: 1px solid #eaecf0;
  text-align: left;
}

.panel [role="alert"] {
  color: #b42318;
}
"""
