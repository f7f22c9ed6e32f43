import { messageOf } from "../system/errors.js";

/** What OpenAI's API tells about a failure besides its message. */
interface ApiErrorDetails {
  /** Default: invalid_request_error, or server_error from 500. */
  readonly type?: string;
  /** A code for programs. */
  readonly code?: string;
  /** The field of the request that is at fault. */
  readonly param?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether the connection is closed after the answer. */
  readonly closes?: boolean;
}

/** The failure of a request, with its HTTP status and a message for whoever sent it. */
export class ApiError extends Error {
  override name = "ApiError";

  constructor(
    readonly status: number,
    message: string,
    readonly details: ApiErrorDetails = {},
  ) {
    super(message);
  }

  /** The answer's body, in the shape of OpenAI's API. */
  get body(): object {
    const { type, code = null, param = null } = this.details;
    const usual = this.status < 500 ? "invalid_request_error" : "server_error";
    return { error: { message: this.message, type: type ?? usual, param, code } };
  }
}

/** The error for a request's field with an invalid value. */
export function badField(param: string, message: string, code = "invalid_value"): ApiError {
  return new ApiError(400, message, { param, code });
}

/** Any thrown error, as an answer. */
export function toApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(500, messageOf(error));
}
