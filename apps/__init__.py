"""The lab in the browser: a hub, and one app a room."""
