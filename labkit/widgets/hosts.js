// One view, two hosts. `mount(el, host)` gives a frame with `show(head, bodies, state)`: plain data, bytes, where to start.
import { bytesOf } from "./grid.js";

// JupyterLab: the traits `value` and `state` of labkit.widgets.view.View.
export const jupyterHost = (mount) => ({ model, el }) => {
  let telling = false; // our own word comes back
  const view = mount(el, {
    tell(state) {
      telling = true;
      model.set("state", state);
      telling = false;
      model.save_changes();
    },
    ask: (what) => model.send(what),
  });
  const show = () => {
    const { head, bodies } = model.get("value");
    if (!head) return;
    view.show(head, bodies, model.get("state"));
    view.busy(false);
  };
  const receive = (message) => "busy" in message && view.busy(message.busy);
  const events = [["change:value", show], ["change:state", () => telling || view.follow(model.get("state"))], ["msg:custom", receive]];
  for (const [name, handler] of events) model.on(name, handler);
  show();
  return () => {
    for (const [name, handler] of events) model.off(name, handler);
    view.close();
  };
};

// Gradio: the value of labkit.widgets.view.gradio_view().
export const gradioHost = (mount) => ({ element, props, watch, host }) => {
  let view = null;
  const show = () => {
    if (!props.value?.head) return;
    view ??= mount(element.querySelector(".lk-host"), host);
    view.show(props.value.head, props.value.bodies.map((body) => body && bytesOf(body)), props.value.state);
    view.busy(false);
  };
  show();
  watch("value", show);
};
