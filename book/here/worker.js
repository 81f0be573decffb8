/* Python, beside the page: it gets the lesson's files once, then cells to run, one at a time. */
import { loadPyodide } from "./pyodide.mjs";

const say = message => self.postMessage(message);
let python = null, run = null, bytes = 0;

const plain = self.fetch.bind(self);
self.fetch = async (...args) => { // counts what comes in, for the page to show
  const answer = await plain(...args);
  if (!answer.body) return answer;
  const counted = answer.body.pipeThrough(new TransformStream({
    transform(part, out) { bytes += part.byteLength; say({ kind: "bytes", bytes }); out.enqueue(part); },
  }));
  return new Response(counted, { status: answer.status, headers: answer.headers });
};

async function start({ files, driver }) {
  python = await loadPyodide({ indexURL: new URL("./", import.meta.url).href });
  const text = line => say({ kind: "printed", text: line + "\n" });
  python.setStdout({ batched: text });
  python.setStderr({ batched: text });
  python.FS.mkdirTree("/lesson");
  python.FS.writeFile("/lesson/driver.py", driver);
  python.globals.set("files", python.toPy(files));
  python.runPython("import sys; sys.path.insert(0, '/lesson'); import driver; driver.unpack(files, '/lesson')");
  run = python.runPython("driver.run");
  say({ kind: "ready", version: python.runPython("sys.version.split()[0]") });
}

self.onmessage = async ({ data }) => {
  try {
    if (data.kind === "start") return await start(data);
    const answer = run(data.code, `<cell ${data.cell + 1}>`), [html, text, error] = answer.toJs();
    answer.destroy();
    say({ kind: "done", cell: data.cell, html, text, error });
  } catch (error) { say({ kind: "failed", text: String(error) }); }
};
