/** What went wrong with a request, in words for people. */

/** A request that was refused or failed. `message` says what happened; `advice`, what to do, may be empty. */
export class ApiError extends Error {
  /**
   * @param {number} status of the answer; 0 if there was none
   * @param {string} reason a word for programs: `IMAGE_NOT_FOUND`
   * @param {string} message for people
   * @param {Object<string, string>} [metadata] of which thing
   */
  constructor(status, reason, message, metadata = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.reason = reason;
    this.metadata = metadata;
  }

  get advice() {
    return ADVICE_BY_REASON[this.reason] ?? ADVICE_BY_STATUS[this.status] ?? "";
  }
}

const ADVICE_BY_REASON = {
  UNREACHABLE: "Look whether `shoal serve --web` still runs and the network is there, then try again.",
};

// The server's messages say what to do where it depends on the case; these are for where it does not.
const ADVICE_BY_STATUS = {
  403: "Ask whoever runs this server for a key that may do this, and enter it with the key button above.",
  413: "Choose a smaller file.",
  429: "The server has too much to do just now. Try again in a moment.",
  500: "Try again. If it stays so, the server's log has more under the id above.",
  503: "Try again in a moment.",
};

/** The error that an answer tells. */
export async function errorOf(response) {
  let told = {};
  try {
    told = (await response.json())?.error ?? {};
  } catch {
    // An answer of something between here and Shoal; its text is not for people.
  }
  const fallback = `The server answered ${response.status} ${response.statusText}.`;
  const message = typeof told.message === "string" ? told.message : fallback;
  return new ApiError(response.status, told.reason ?? "", message, told.metadata ?? {});
}
