/** The page in the browser. It goes on from what a server has drawn, if it has. */
import { StrictMode } from "react"
import { createRoot, hydrateRoot } from "react-dom/client"
import { App } from "./App.tsx"

const search = new URLSearchParams(location.search)
const app = (
  <App
    url={search.get("url") ?? ""}
    token={search.get("token") ?? ""}
    shared={search.get("shared") ?? undefined}
  />
)
// Where renders are counted, each is to be one.
const page = search.has("loose") ? app : <StrictMode>{app}</StrictMode>
const root = document.getElementById("root")
if (root === null) throw new Error("the page has no root")
if (root.firstElementChild === null) createRoot(root).render(page)
else hydrateRoot(root, page, { onRecoverableError: (error) => console.error("not hydrated", error) })
