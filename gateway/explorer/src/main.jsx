import "./styles.js";
import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import "@graphiql/plugin-explorer/style.css";
import "./page.css";

import { explorerPlugin } from "@graphiql/plugin-explorer";
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { useMemo, useRef, useState } from "react";
import { createRoot } from "react-dom/client";

import { examples } from "./examples/index.js";
import { makeFetcher } from "./fetcher.js";
import { keepKey, readKey } from "./key.js";
import { KeyBar } from "./KeyBar.jsx";

const plugins = [HISTORY_PLUGIN, explorerPlugin()];

// A new fetcher makes GraphiQL load the schema again; with null for a schema it asks for none.
function Explorer() {
  const [key, setKey] = useState(readKey);
  const explains = useRef(false);
  const fetcher = useMemo(() => makeFetcher(key, () => explains.current), [key]);
  const changeKey = (next) => {
    keepKey(next);
    setKey(next);
  };
  return (
    <>
      <KeyBar apiKey={key} onChange={changeKey} onExplain={(wanted) => (explains.current = wanted)} />
      <GraphiQL
        fetcher={fetcher}
        schema={key ? undefined : null}
        plugins={plugins}
        defaultTabs={examples}
        shouldPersistHeaders={false}
        isHeadersEditorEnabled={false}
      >
        <GraphiQL.Logo>Leaks</GraphiQL.Logo>
      </GraphiQL>
    </>
  );
}

createRoot(document.getElementById("explorer")).render(<Explorer />);
