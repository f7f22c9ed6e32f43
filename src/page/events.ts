/** Server-sent events, as https://html.spec.whatwg.org/multipage/server-sent-events.html defines their lines. */
export class EventReader {
  private rest = "";
  private data: string[] = [];

  /** Takes more text. @returns the data of each event that is now complete */
  push(text: string): string[] {
    const events: string[] = [];
    this.rest += text;
    for (;;) {
      const end = /\r\n|\n|\r(?=[\s\S])/.exec(this.rest); // the \n of a \r at the very end may be yet to come
      if (end === null) return events;
      const line = this.rest.slice(0, end.index);
      this.rest = this.rest.slice(end.index + end[0].length);
      if (line.startsWith("data:")) this.data.push(line.slice("data:".length).replace(/^ /, ""));
      else if (line === "" && this.data.length > 0) {
        events.push(this.data.join("\n"));
        this.data = [];
      }
    }
  }
}
