/** The page on a server: what it looks like before anything has come. */
import { StrictMode } from "react"
import { renderToString } from "react-dom/server"
import { App } from "./App.tsx"

export const draw = (): string =>
  renderToString(
    <StrictMode>
      <App url="/events" token="" />
    </StrictMode>
  )
