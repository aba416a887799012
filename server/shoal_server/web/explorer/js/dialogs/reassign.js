/** Putting images that are in no cluster where they fit. */

import { correct } from "./correction.js";

/** Shows which images in no cluster are like those of one, and puts them there. */
export function reassign(context) {
  return correct(context, {
    title: "Put them where they fit",
    request: () => ({ parts: "images:reassign_noise" }),
    waiting: "Comparing them with the clusters…",
    confirm: "Put them there",
    said: "Images that fit are in a cluster now",
    remark: "Each goes to the cluster that its nearest neighbours are in, where it is similar enough. They stay there.",
    wide: true,
  });
}
