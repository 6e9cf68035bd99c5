import { useState } from "react";

export function KeyBar({ apiKey, onChange }) {
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
      {!apiKey && <span role="status">Enter an API key to load the schema.</span>}
    </form>
  );
}
