// MediaPipe's face mesh out of the file itself: its code, its WebAssembly and its models are blobs, fetched from nowhere.
import { bytesOf, inflated } from "./payload.js";

const KINDS = { js: "text/javascript", wasm: "application/wasm" };

function loadScript(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = resolve;
    script.onerror = () => reject(new Error("the tracker's code was not loaded"));
    document.head.append(script);
  });
}

// text: names and sizes of the files, then all of them, deflated. Returns a function of a square picture to points or null.
export async function faceTracker(text) {
  const split = text.indexOf(";"), block = await inflated(bytesOf(text.slice(split + 1)));
  const addresses = {};
  let at = 0;
  for (const entry of text.slice(0, split).trim().split(",")) {
    const [name, size] = entry.split(":"), data = block.subarray(at, at + Number(size));
    at += Number(size);
    const type = KINDS[name.split(".").pop()] || "application/octet-stream";
    addresses[name] = URL.createObjectURL(new Blob([data], { type }));
  }
  await loadScript(addresses["face_mesh.js"]);
  const mesh = new globalThis.FaceMesh({ locateFile: (name) => addresses[name.split("/").pop()] || "data:," });
  // On the processor: where WebGL is software that is four times as fast, and elsewhere it leaves the GPU to the avatar.
  mesh.setOptions({ maxNumFaces: 1, refineLandmarks: true, useCpuInference: true, selfieMode: false });
  let found = null;
  mesh.onResults((results) => { found = results.multiFaceLandmarks && results.multiFaceLandmarks[0]; });
  await mesh.initialize();
  // (478 * 3) in parts of a square picture, z away from the viewer in the same unit.
  return async (picture) => {
    found = null;
    await mesh.send({ image: picture });
    return found && Float64Array.from(found.flatMap((p) => [p.x, p.y, p.z]));
  };
}
