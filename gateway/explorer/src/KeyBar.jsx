import { useState } from "react";

export function KeyBar({ apiKey, onChange, onExplain }) {
  const [text, setText] = useState(apiKey);
  const [isShown, setShown] = useState(false);
  const apply = () => text.trim() !== apiKey && onChange(text.trim());
  return (
    <form className="key-bar" onSubmit={(event) => (event.preventDefault(), apply())}>
      <label htmlFor="api-key">API key</label>
      <input
        id="api-key"
        type={isShown ? "text" : "password"}
        autoComplete="off"
        spellCheck={false}
        placeholder="lgk_…"
        value={text}
        onChange={(event) => setText(event.target.value)}
        onBlur={apply}
      />
      <button type="button" aria-pressed={isShown} onClick={() => setShown(!isShown)}>
        {isShown ? "Hide" : "Show"}
      </button>
      <label title="Answer with what each level of reads costs; the key needs the scope leaks:explain.">
        <input type="checkbox" onChange={(event) => onExplain(event.target.checked)} /> Explain
      </label>
      {!apiKey && <span role="status">Enter an API key to load the schema.</span>}
    </form>
  );
}
